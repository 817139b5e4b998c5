# The one list of commands. Every recipe only calls `cargo xtask`, so nobody needs `just` to work here;
# `cargo xtask --help` says the same. A test keeps the two lists equal.

# List the commands
default:
    @just --list

# Everything that has to pass before a change lands
ci:
    cargo xtask ci

# The complete test suite; arguments go to `cargo test`
test *args:
    cargo xtask test {{ args }}

# Format the code
fmt *args:
    cargo xtask fmt {{ args }}

# clippy, with warnings as errors
lint:
    cargo xtask lint

# API documentation with warnings as errors, and the links between the documents
docs:
    cargo xtask docs

# Licences, sources, bans and arrows of the dependencies
deps:
    cargo xtask deps

# Break the rules one by one, and see that the tests notice
mutants *args:
    cargo xtask mutants {{ args }}

# Write docs/rules.md: where each rule is kept, and what holds it
rules:
    cargo xtask rules

# Measure the server, as ratios within one run; `--compare FILE`: how it differs from an earlier one
bench *args:
    cargo xtask bench {{ args }}

# Many devices against real servers, from seeds, while everything fails; `--seeds N --minutes M`
simulate *args:
    cargo xtask simulate {{ args }}

# Build the Debian package, of the optimised server, into target/package
package:
    cargo xtask package

# Run the server from the source tree; arguments go to `mosaic`
serve *args:
    cargo xtask serve {{ args }}
