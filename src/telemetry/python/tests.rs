//! Tests of `telemetry/python`.
