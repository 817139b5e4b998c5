//! The rules of Mosaic sync, pure: entities, versions, last-writer-wins, stamps, cursors, page cutting.
