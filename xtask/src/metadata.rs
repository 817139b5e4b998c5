//! The part of `cargo metadata` that the checks read.

use std::path::PathBuf;

use serde::Deserialize;

use crate::failure::{Failure, Result};

/// The dependency graph as cargo resolved it.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Every package of the graph, members included.
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    /// `null` where it was asked for without dependencies.
    resolve: Option<Resolve>,
}

/// What cargo decided for each package.
#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    features: Vec<String>,
}

/// One crate in one version.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression of its manifest.
    pub(crate) license: Option<String>,
    /// Where it comes from; none for a path.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    /// What its manifest asks for.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or none for an ordinary one.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Reads the JSON that `cargo metadata --format-version 1` prints.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json)
            .map_err(|error| Failure(format!("cargo metadata is not as expected: {error}")))
    }

    /// The features that a package has in this graph.
    pub(crate) fn features(&self, package: &Package) -> impl Iterator<Item = &str> {
        let resolved = self.resolve.iter().flat_map(|resolve| &resolve.nodes);
        let nodes = resolved.filter(|node| node.id == package.id);
        nodes.flat_map(|node| &node.features).map(String::as_str)
    }

    /// The crates of this repository.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }
}
