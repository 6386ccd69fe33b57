//! The server's dynamic configuration file, which it reads again by itself.

/// Where the file lies in the container.
pub const PATH: &str = "/etc/temporal/config/dynamicconfig/docker.yaml";

/// The file's text.
pub fn render() -> String {
    todo!()
}
