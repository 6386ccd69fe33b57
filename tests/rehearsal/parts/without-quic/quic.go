// Package libp2pquic stands in for libp2p's QUIC transport of 2019 to 2022, which has copies of the standard
// library's TLS: with a Go of today one does not compile, and an older one ends the program at its start.
// What is built with it names the transport and never uses it: IPFS Cluster 0.14 runs on TCP and WebSocket
// only, since that QUIC had no private networks, and the client of 0.12 asks by plain HTTP.
package libp2pquic

import (
	"errors"

	"github.com/libp2p/go-libp2p-core/transport"
)

// NewTransport fails: who asks for QUIC is told that there is none.
func NewTransport() (transport.Transport, error) {
	return nil, errors.New("built without QUIC")
}
