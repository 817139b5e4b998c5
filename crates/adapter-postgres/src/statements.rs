//! The statements of this store on rows, as `docs/statements.sql` has them: the conformance suite sends them, and the test
//! that watches it writes the file. `mosaic doctor` asks a distributed database how it would answer each.

use std::sync::LazyLock;

/// The heading of those about one user.
pub const OF_ONE_USER: &str = "-- Of one user";

/// The file.
const LIST: &str = include_str!("../../../docs/statements.sql");

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The names of the types of its values.
    pub(crate) types: Vec<String>,
    pub(crate) text: String,
}

/// Those about one user.
pub(crate) fn of_one_user() -> &'static [Statement] {
    static ALL: LazyLock<Vec<Statement>> = LazyLock::new(|| parse(LIST));
    &ALL
}

/// Each is `PREPARE name (types) AS text;`, over some lines, below the heading.
fn parse(list: &str) -> Vec<Statement> {
    let Some((_, list)) = list.split_once(OF_ONE_USER) else {
        return Vec::new();
    };
    let list = list.split_once("\n\n-- Of ").map_or(list, |(list, _)| list);
    let statement = |text: &str| {
        let text: Vec<_> = text.split_whitespace().collect();
        let text = text.join(" ");
        let (head, text) = text.split_once(" AS ")?;
        let (_, types) = head.split_once('(')?;
        let types = types.strip_suffix(')')?;
        Some(Statement {
            types: types.split(", ").map(str::to_owned).collect(),
            text: text.to_owned(),
        })
    };
    list.split("PREPARE ")
        .skip(1)
        .filter_map(|text| statement(text.split_once(';')?.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_from_the_list() {
        let list = "-- x\n\n-- Of one user\n\nPREPARE s1 (uuid, _text) AS\nSELECT a AS b\n    FROM c WHERE user_id = $1;\n\n\
                    -- Of many users\n\nPREPARE s2 (uuid) AS SELECT 1;\n";
        let read = parse(list);
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].types, ["uuid", "_text"]);
        assert_eq!(read[0].text, "SELECT a AS b FROM c WHERE user_id = $1");
        assert!(of_one_user().len() > 50);
    }
}
