//! Every metric that s7mpa publishes: name, unit, meaning. The reference page is generated from it.
