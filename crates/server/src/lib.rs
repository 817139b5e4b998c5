//! The mosaic binary: arguments, configuration, telemetry, wiring.
