package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/RTradeLtd/config/v2"
	pb "github.com/RTradeLtd/grpc/krab"
	"github.com/RTradeLtd/kaas/v2"
	"github.com/libp2p/go-libp2p-core/crypto"
	"github.com/libp2p/go-libp2p-core/peer"
)

func krab(_ context.Context, settings *config.TemporalConfig, _ []string) (any, error) {
	err := kaas.NewServer(settings.Services.Krab.URL, "tcp", settings)
	if err == nil {
		err = errors.New("it serves no more")
	}
	return nil, err
}

func key(ctx context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	name := arguments[0]
	krab, err := kaas.NewClient(settings.Services, false)
	if err != nil {
		return nil, err
	}
	defer krab.Close()
	made, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 256)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(made)
	if err != nil {
		return nil, err
	}
	bytes, err := made.Bytes()
	if err != nil {
		return nil, err
	}
	if _, err := krab.PutPrivateKey(ctx, &pb.KeyPut{Name: name, PrivateKey: bytes}); err != nil {
		return nil, fmt.Errorf("give krab a key: %w", err)
	}
	given, err := krab.GetPrivateKey(ctx, &pb.KeyGet{Name: name})
	if err != nil {
		return nil, fmt.Errorf("ask krab for the key: %w", err)
	}
	if string(given.PrivateKey) != string(bytes) {
		return nil, errors.New("krab gave another key")
	}
	return map[string]string{"name": name, "id": id.String()}, nil
}
