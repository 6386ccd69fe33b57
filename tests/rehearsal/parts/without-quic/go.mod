module github.com/libp2p/go-libp2p-quic-transport

go 1.17

require github.com/libp2p/go-libp2p-core v0.2.5
