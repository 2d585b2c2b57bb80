//! Topics: `s7mpa/v1/<host>/<channel>`.
