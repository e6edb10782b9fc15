//! A `ManagedImage` for every image that somebody runs, and the package sets that the cluster's own bills of materials bring. One that
//! nobody has run for a time of grace goes.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use hozen_advisory::package::{self, PackageSet};
use hozen_api::{
    managed_image::{ManagedImage, ManagedImageSpec},
    names::manager,
    package_set::{self, PackageSetSpec},
};
use hozen_domain::{World, image, workload::Image};
use kube::Client;

use crate::{
    observe::{self, Stores},
    status::{
        Written,
        write::{self, Part, WriteError, pending},
    },
};

/// Writes at once, as for status.
const WRITES_AT_ONCE: usize = 32;
/// Repositories that an image is known under, by the schema.
const REPOSITORIES_MAX: usize = 32;

/// Longest package URL, by the schema.
const PURL_BYTES_MAX: usize = 1024;

/// How many objects were written.
type Write<'a> = BoxFuture<'a, Result<usize, WriteError>>;

/// Makes, completes and removes, as far as it is not so already.
pub async fn tend(client: &Client, stores: &Arc<Stores>, world: &World) -> Written {
    let mut written = Written::default();
    let mut writes: Vec<Write<'_>> = Vec::new();
    let (mut made, mut known) = (Vec::new(), Vec::new());
    for image in world.images.values() {
        let (name, objects) = (name(image), stores.images.read());
        match objects.get(&name) {
            None if image.used_by.is_empty() || objects.is_there(&name) => {}
            None => made.push(image),
            Some(seen) => known.push((image, Arc::clone(&seen.value))),
        }
    }
    writes.extend(made.into_iter().map(|image| make(client, stores, image).boxed()));
    for (image, object) in known {
        if image::forgotten(world, image) {
            writes.push(remove(client, stores, object).boxed());
            continue;
        }
        let spec = completed(&object.spec, image);
        match pending(&object.metadata, (Part::Spec, manager::INVENTORY), Some(&object.spec), &spec)
        {
            Ok(None) => {}
            Ok(Some(write)) => writes.push(complete(client, stores, write).boxed()),
            Err(error) => written.take(Err(WriteError {
                what: format!("spec of ManagedImage {}", name(image)),
                source: error.into(),
            })),
        }
    }
    for set in brought(stores, world) {
        writes.push(shelve(client, stores, set).boxed());
    }
    let mut going = stream::iter(writes).buffer_unordered(WRITES_AT_ONCE);
    while let Some(outcome) = going.next().await {
        written.take(outcome);
    }
    written
}

/// The name of an image's object: its digest in the form of a name.
pub fn name(image: &Image) -> String {
    image.digest.replace(':', "-")
}

async fn make(client: &Client, stores: &Stores, image: &Image) -> Result<usize, WriteError> {
    let spec = ManagedImageSpec { digest: image.digest.to_string(), ..ManagedImageSpec::default() };
    let object = ManagedImage::new(&name(image), completed(&spec, image));
    let made = write::create(client, &object).await?;
    Ok(made.map_or(0, |made| enter(stores, made)))
}

async fn complete(
    client: &Client,
    stores: &Stores,
    write: write::Pending,
) -> Result<usize, WriteError> {
    let image = write::send::<ManagedImage>(client, &stores.futile, &write).await?;
    Ok(image.map_or(0, |image| enter(stores, image)))
}

async fn remove(
    client: &Client,
    stores: &Stores,
    object: Arc<ManagedImage>,
) -> Result<usize, WriteError> {
    let removed = write::remove::<ManagedImage>(client, &object.metadata).await?;
    stores.images.removed(&object.metadata);
    Ok(removed)
}

/// One object more that the store shows.
fn enter(stores: &Stores, object: ManagedImage) -> usize {
    let metadata = object.metadata.clone();
    stores.images.wrote(&metadata, observe::pruned(object));
    1
}

/// With what was seen of it since: where it comes from, and a tag if none was known. What somebody handed in stays.
fn completed(spec: &ManagedImageSpec, image: &Image) -> ManagedImageSpec {
    let mut spec = spec.clone();
    for repository in &image.repositories {
        let there = spec.repositories.iter().any(|known| known == repository);
        if !there && spec.repositories.len() < REPOSITORIES_MAX && is_repository(repository) {
            spec.repositories.push(repository.to_string());
        }
    }
    let seen = image.tag.as_ref().filter(|tag| is_word(tag));
    spec.tag = spec.tag.or_else(|| seen.map(ToString::to_string));
    spec
}

/// Whether it is one word, as the schema has tags and names of distributions.
fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether it has the form of a repository, as the schema has it: a template may name an image in a way that no registry knows, and one
/// that the server refuses would hold up everything else.
fn is_repository(text: &str) -> bool {
    let ends = |part: &str| {
        let plain =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        plain(part.chars().next()) && plain(part.chars().next_back())
    };
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    let path = |c: char| host(c) && !c.is_ascii_uppercase() && c != ':';
    let mut parts = text.split('/');
    text.len() <= 255
        && parts.next().is_some_and(|first| ends(first) && first.chars().all(host))
        && parts.all(|part| ends(part) && part.chars().all(path))
}

/// Package sets of images that the cluster's own reports brought and that are no objects yet. One with a package URL that no object takes
/// stays in memory.
fn brought<'w>(stores: &Stores, world: &'w World) -> Vec<&'w Arc<PackageSet>> {
    let objects = stores.package_sets.read();
    let mut sets: Vec<&Arc<PackageSet>> = world
        .images
        .values()
        .filter(|image| !image.used_by.is_empty())
        .filter_map(|image| world.package_sets.get(image.packages.as_ref().ok()?))
        .filter(|set| !objects.is_there(&set.digest))
        .filter(|set| set.packages.iter().all(|package| package.purl().len() <= PURL_BYTES_MAX))
        .collect();
    sets.sort_by(|a, b| a.digest.cmp(&b.digest));
    sets.dedup_by(|a, b| a.digest == b.digest);
    sets
}

/// Writes a package set down; one that is too large for an object goes in parts, which come first.
async fn shelve(client: &Client, stores: &Stores, set: &PackageSet) -> Result<usize, WriteError> {
    let mut count = 0;
    for object in objects(set) {
        if let Some(made) = write::create(client, &object).await? {
            let metadata = made.metadata.clone();
            stores.package_sets.wrote(&metadata, observe::packages(made));
            count += 1;
        }
    }
    Ok(count)
}

fn objects(set: &PackageSet) -> Vec<package_set::PackageSet> {
    let texts = set.texts();
    let count = |lines: usize| u32::try_from(lines).ok();
    // A bill of materials may name one that the server refuses; it is shown, and not hashed.
    let distro = set.packages.iter().map(|package| &package.distro).find(|distro| is_word(distro));
    let spec =
        PackageSetSpec { distro: distro.map(ToString::to_string), ..PackageSetSpec::default() };
    let whole = |text: &String| PackageSetSpec {
        packages: text.lines().map(str::to_owned).collect(),
        count: count(text.lines().count()),
        ..spec.clone()
    };
    if let [text] = texts.as_slice() {
        return vec![package_set::PackageSet::new(&set.digest, whole(text))];
    }
    let digests: Vec<String> = texts.iter().map(|text| package::digest(text).to_string()).collect();
    let parts = texts.iter().zip(&digests);
    let mut made: Vec<package_set::PackageSet> =
        parts.map(|(text, digest)| package_set::PackageSet::new(digest, whole(text))).collect();
    let joined = PackageSetSpec { parts: digests, count: count(set.packages.len()), ..spec };
    made.push(package_set::PackageSet::new(&set.digest, joined));
    made
}

#[cfg(test)]
mod tests {
    use hozen_advisory::package::Package;
    use hozen_testkit::debian;

    use super::*;

    #[test]
    fn what_is_no_repository_to_the_schema_is_not_written() {
        for good in ["registry.example.com:5000/shop/web", "nginx", "localhost/a__b-c.d/e"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in ["", "[::1]:5000/web", "shop//web", "shop/Web", "shop/web/", "-web", "a/b:c"] {
            assert!(!is_repository(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_of_a_distribution_that_the_schema_does_not_take_is_not_written() {
        let distro = |text: &str| {
            let mut set = debian(&[("bash", "5.2.15-2+b7")]);
            set.packages = set
                .packages
                .iter()
                .cloned()
                .map(|p| Package { distro: text.into(), ..p })
                .collect();
            objects(&set).remove(0).spec.distro
        };
        assert_eq!(distro("amazon-2+(karoo)").as_deref(), Some("amazon-2+(karoo)"));
        for bad in ["", "amazon-2 (karoo)", "bücher", "a\nb", &"x".repeat(129)] {
            assert_eq!(distro(bad), None, "{bad}");
        }
    }
}
