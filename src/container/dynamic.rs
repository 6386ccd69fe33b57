//! The server's dynamic configuration file, which it reads again by itself. The server refuses to start
//! without the file, so it is there even while nothing is set in it.

/// Where the file lies in the container.
pub const PATH: &str = "/etc/temporal/config/dynamicconfig/docker.yaml";

/// The file's text: no key, so every version keeps its own defaults.
pub fn render() -> String {
    "{}\n".to_owned()
}
