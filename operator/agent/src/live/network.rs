//! Network, as far as it bears on downloads: the link of the default route, and how many addresses there are. The
//! addresses themselves are not reported.

use hozen_api::node_inventory::Network;

use crate::root::Root;

use super::{PROC, small};

/// Reads the link of the default route.
pub fn read(root: &Root) -> Option<Network> {
    let interface = default_interface(root)?;
    // The driver answers -1, or refuses, where a link has no speed of its own.
    let speed = small(root, &format!("sys/class/net/{interface}/speed")).ok();
    Some(Network {
        link_megabits_per_second: speed.and_then(|speed| speed.parse().ok()),
        interface: Some(interface),
    })
}

fn default_interface(root: &Root) -> Option<String> {
    let v4 = small(root, &format!("{PROC}/1/net/route")).unwrap_or_default();
    let v6 = root.text(&format!("{PROC}/1/net/ipv6_route"), 4 << 20).unwrap_or_default();
    default_v4(&v4).or_else(|| default_v6(&v6)).filter(|name| !name.contains('/'))
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`
fn default_v4(table: &str) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().take(8).collect();
        let is_default = columns.get(1) == Some(&"00000000") && columns.get(7) == Some(&"00000000");
        columns.first().filter(|_| is_default).and_then(|name| crate::unread::token(name))
    })
}

/// `destination length source length gateway metric refcnt use flags Iface`
fn default_v6(table: &str) -> Option<String> {
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().take(10).collect();
        let zeros =
            |column: Option<&&str>| column.is_some_and(|text| text.bytes().all(|b| b == b'0'));
        let is_default = zeros(columns.first()) && zeros(columns.get(1)) && !zeros(columns.get(4));
        columns.get(9).filter(|_| is_default).and_then(|name| crate::unread::token(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_names_the_link() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
             docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
             eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(default_v4(table).as_deref(), Some("eth0"));
        assert_eq!(default_v4(""), None);
    }
}
