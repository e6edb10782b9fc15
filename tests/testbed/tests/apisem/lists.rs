//! S5: pages, watches, bookmarks, and moments that the server no longer knows.

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, WatchEvent, WatchParams},
};
use serde_json::json;

use crate::server::{Server, code, name, until};

pub async fn s5_a_list_in_pages_is_complete_and_of_one_moment(server: Server) {
    let label = name("page");
    for number in 0..7 {
        let map =
            json!({"metadata": {"name": format!("{label}-{number}"), "labels": {"list": label}}});
        let map = serde_json::from_value(map).unwrap();
        server.config_maps().create(&kube::api::PostParams::default(), &map).await.unwrap();
    }
    let query = ListParams::default().labels(&format!("list={label}"));
    let first = server.config_maps().list(&query.clone().limit(3)).await.unwrap();
    assert_eq!(first.items.len(), 3);
    // Deleted after the first page: the pages after it are of the same moment, so it is still on one of them.
    server.config_maps().delete(&format!("{label}-6"), &DeleteParams::default()).await.unwrap();
    let mut names: Vec<_> = first.items.iter().map(ResourceExt::name_any).collect();
    let mut token = first.metadata.continue_;
    while let Some(more) = token.filter(|token| !token.is_empty()) {
        let page =
            server.config_maps().list(&query.clone().limit(3).continue_token(&more)).await.unwrap();
        assert_eq!(page.metadata.resource_version, first.metadata.resource_version);
        names.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_;
    }
    let all: Vec<_> = (0..7).map(|number| format!("{label}-{number}")).collect();
    assert_eq!(names, all);
}

pub async fn s5_a_page_of_a_moment_long_gone_is_410(server: Server) {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    // What the server's own token holds, with the first moment of all in it.
    let token = json!({"v": "meta.k8s.io/v1", "rv": 1, "start": "a\u{0}"}).to_string();
    let token = BASE64_URL_SAFE_NO_PAD.encode(token);
    let query = ListParams::default().limit(3).continue_token(&token);
    until("the server forgets its first moment", async || {
        server.config_maps().list(&query).await.err().filter(|error| code(error) == 410)
    })
    .await;
}

pub async fn s5_a_watch_from_a_moment_long_gone_is_410(server: Server) {
    // The refusal comes as the answer or as the first event; both are in use.
    let gone = until("the server forgets its first moment", async || {
        match server.widgets().watch(&WatchParams::default().timeout(5), "1").await {
            Err(error) => Some(code(&error)),
            Ok(stream) => match std::pin::pin!(stream).try_next().await {
                Ok(Some(WatchEvent::Error(status))) => Some(status.code),
                _ => None,
            },
        }
    })
    .await;
    assert_eq!(gone, 410);
}

/// Every event of a watch until the server ends it.
async fn events(server: &Server, query: &WatchParams, from: &str) -> Vec<WatchEvent<ConfigMap>> {
    let stream = server.config_maps().watch(query, from).await.expect("the watch begins");
    stream.try_collect().await.expect("the watch ends in order")
}

pub async fn s5_a_watch_tells_changes_and_ends_when_its_time_is_over(server: Server) {
    let label = name("watch");
    let from = server.config_maps().list(&ListParams::default()).await.unwrap();
    let from = from.metadata.resource_version.unwrap();
    server.config_map(&label).await;
    server.config_maps().delete(&label, &DeleteParams::default()).await.unwrap();
    let query = WatchParams::default().fields(&format!("metadata.name={label}")).timeout(2);
    let seen = events(&server, &query, &from).await;
    let [WatchEvent::Added(added), WatchEvent::Deleted(deleted)] = seen.as_slice() else {
        panic!("an addition and a deletion were expected, not {seen:?}");
    };
    assert_eq!(added.uid(), deleted.uid());
    assert_ne!(
        added.resource_version(),
        deleted.resource_version(),
        "a deletion has its own moment"
    );
}

pub async fn s5_a_watch_that_asks_for_it_gets_bookmarks(server: Server) {
    let from = server.config_maps().list(&ListParams::default()).await.unwrap();
    let from = from.metadata.resource_version.unwrap();
    let query = WatchParams::default().fields("metadata.name=none-of-this-name").timeout(5);
    let seen = unwatched_change(&server, &query, &from).await;
    // Sent shortly before the watch's time is over, once or twice, and only because something happened since it began.
    let Some(WatchEvent::Bookmark(bookmark)) = seen.last() else {
        panic!("a bookmark was expected, not {seen:?}");
    };
    assert!(seen.iter().all(|event| matches!(event, WatchEvent::Bookmark(_))), "{seen:?}");
    assert_ne!(bookmark.metadata.resource_version, from);
    let without = WatchParams { bookmarks: false, ..query };
    let seen = unwatched_change(&server, &without, &from).await;
    assert!(seen.is_empty(), "{seen:?}");
}

/// The events of a watch during which something happens that it does not tell.
async fn unwatched_change(
    server: &Server,
    query: &WatchParams,
    from: &str,
) -> Vec<WatchEvent<ConfigMap>> {
    let stream = server.config_maps().watch(query, from).await.expect("the watch begins");
    server.config_map(&name("unwatched")).await;
    stream.try_collect().await.expect("the watch ends in order")
}
