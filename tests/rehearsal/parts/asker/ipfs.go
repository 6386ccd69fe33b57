package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/RTradeLtd/config/v2"
	ipfs "github.com/RTradeLtd/go-ipfs-api"
	"github.com/RTradeLtd/rtfs/v2"
)

// Temporal waits so long for its node.
const patience = time.Hour

// Temporal asks for nothing else when it adds a file.
const hash = "sha2-256"

func nodeAddress(settings *config.TemporalConfig) string {
	return settings.IPFS.APIConnection.Host + ":" + settings.IPFS.APIConnection.Port
}

// A new manager asks for the node's id, as every part of Temporal that needs IPFS does at its start.
func node(settings *config.TemporalConfig) (*rtfs.IpfsManager, error) {
	return rtfs.NewManager(nodeAddress(settings), "", patience)
}

func askNode(settings *config.TemporalConfig) (any, error) {
	if _, err := node(settings); err != nil {
		return nil, err
	}
	// the manager keeps to itself what it was told
	id, err := ipfs.NewShell(nodeAddress(settings)).ID()
	if err != nil {
		return nil, fmt.Errorf("ask the IPFS node for its id: %w", err)
	}
	return map[string]any{"id": id.ID, "agent": id.AgentVersion, "addresses": id.Addresses}, nil
}

func add(_ context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	node, err := node(settings)
	if err != nil {
		return nil, err
	}
	cid, err := node.Add(strings.NewReader(arguments[0]), ipfs.Hash(hash))
	return map[string]string{"cid": cid}, err
}

func stat(_ context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	node, err := node(settings)
	if err != nil {
		return nil, err
	}
	stat, err := node.Stat(arguments[0])
	if err != nil {
		return nil, err
	}
	return map[string]any{"cid": stat.Hash, "size": stat.CumulativeSize, "links": stat.NumLinks}, nil
}

func cat(_ context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	node, err := node(settings)
	if err != nil {
		return nil, err
	}
	text, err := node.Cat(arguments[0])
	return map[string]string{"text": string(text)}, err
}
