//! The suite, run against the store in memory: it tests the suite as much as the store.

mosaic_testkit::conformance!(mosaic_testkit::MemoryFixture);

/// A case that is missing in the list of `conformance!` would never run.
#[test]
fn every_case_is_in_the_list() {
    let list = include_str!("../src/lib.rs");
    let listed = |case: &str| list.lines().any(|line| line.trim() == case);
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
    for file in std::fs::read_dir(cases).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in source
            .lines()
            .filter_map(|line| line.strip_prefix("pub async fn "))
        {
            let (case, _) = line.split_once('(').unwrap();
            assert!(listed(case), "{case} is in no list");
        }
    }
}
