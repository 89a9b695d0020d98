//! What the admin API sends and takes, as JSON.
