package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/RTradeLtd/config/v2"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/ipfs-cluster/api"
	"github.com/ipfs/ipfs-cluster/api/rest/client"
)

// How often a wait for a pin looks again.
const look = 200 * time.Millisecond

func cluster(settings *config.TemporalConfig) (client.Client, error) {
	at := settings.IPFSCluster.APIConnection
	var its client.Config
	// Temporal takes both or neither; with neither the client goes to this machine's port 9094
	if at.Host != "" && at.Port != "" {
		its.Host, its.Port = at.Host, at.Port
	}
	return client.NewDefaultClient(&its)
}

func askPeers(ctx context.Context, settings *config.TemporalConfig) (any, error) {
	cluster, err := cluster(settings)
	if err != nil {
		return nil, err
	}
	peers, err := cluster.Peers(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask IPFS Cluster for its peers: %w", err)
	}
	told := []map[string]string{}
	for _, peer := range peers {
		it := map[string]string{
			"id":      peer.ID.String(),
			"name":    peer.Peername,
			"version": peer.Version,
			"error":   peer.Error,
		}
		if peer.IPFS != nil {
			it["ipfs"] = peer.IPFS.ID.String()
			it["ipfs_error"] = peer.IPFS.Error
		}
		told = append(told, it)
	}
	return told, nil
}

// Temporal pins on all peers, whatever the cluster's own factors are, and asks for the status on the
// peer that it told. Only the wait for the others is ours.
func pin(ctx context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	wanted, err := strconv.Atoi(arguments[1])
	if err != nil {
		return nil, fmt.Errorf("the number of peers: %w", err)
	}
	object, err := cid.Decode(arguments[0])
	if err != nil {
		return nil, err
	}
	cluster, err := cluster(settings)
	if err != nil {
		return nil, err
	}
	everywhere := api.PinOptions{ReplicationFactorMin: -1, ReplicationFactorMax: -1}
	if _, err := cluster.Pin(ctx, object, everywhere); err != nil {
		return nil, fmt.Errorf("tell IPFS Cluster to pin: %w", err)
	}
	if _, err := cluster.Status(ctx, object, true); err != nil {
		return nil, fmt.Errorf("ask IPFS Cluster for the status of the pin: %w", err)
	}
	peers := map[string]string{}
	for {
		status, err := cluster.Status(ctx, object, false)
		if err == nil {
			pinned := 0
			peers = map[string]string{}
			for id, peer := range status.PeerMap {
				peers[id] = peer.Status.String()
				if peer.Error != "" {
					peers[id] += ": " + peer.Error
				}
				if peer.Status == api.TrackerStatusPinned {
					pinned++
				}
			}
			if pinned >= wanted {
				return map[string]any{"cid": object.String(), "peers": peers}, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("not pinned on %d peers: %v (%v)", wanted, peers, err)
		case <-time.After(look):
		}
	}
}
