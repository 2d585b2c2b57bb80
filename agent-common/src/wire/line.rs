//! InfluxDB line protocol: points, writer, parser.
