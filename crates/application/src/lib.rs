//! The use cases of Mosaic sync, one file each, over the ports.
