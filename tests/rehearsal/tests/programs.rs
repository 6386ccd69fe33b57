//! The programs of the IPFS stack, configured as its containers are: what the installer takes for
//! granted about them, one fact a test. Each test has a network of its own in a sandbox, so the
//! programs keep their usual ports and reach nobody.

#[cfg(test)]
mod programs {
    mod asker;
    mod ipfs;
    mod ipfs_cluster;
    mod rabbitmq;
    mod sandbox;
}
