//! The OSV data as a whole, real where it is at hand, else generated.

use hozen_testkit::feed::Feeds;

#[test]
fn generated_data_has_the_shape_and_size_of_the_real() {
    let parsed = Feeds::generated(1).parsed();
    eprintln!("{:?} {:?}", parsed.counts, parsed.rejected.first());
    assert_eq!(parsed.counts.documents, 5_680 + 7_444);
    assert_eq!(parsed.counts.rejected, 0);
    let alma: usize = parsed
        .notices
        .iter()
        .filter(|notice| notice.source.feed == "almalinux")
        .map(|notice| notice.affected.len())
        .sum();
    assert!((60_000..85_000).contains(&alma), "{alma} ranges");
    let Some(real) = Feeds::real() else { return };
    let real = real.parsed();
    eprintln!("{:?} {:?}", real.counts, real.rejected.first());
    assert_eq!(real.counts.documents, parsed.counts.documents);
    assert_eq!(real.counts.rejected, 0);
}
