package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/RTradeLtd/config/v2"
	"github.com/streadway/amqp"
)

// The queues of the five workers.
var queues = []string{
	"ipfs-pin-queue",
	"ipfs-cluster-add-queue",
	"ipfs-key-creation-queue",
	"ipns-entry-queue",
	"email-send-queue",
}

// How many messages a worker takes at once.
const prefetch = 10

func dial(settings *config.TemporalConfig) (*amqp.Connection, error) {
	its := settings.RabbitMQ.TLSConfig
	if its.CACertFile == "" {
		return amqp.Dial(settings.RabbitMQ.URL)
	}
	authority, err := os.ReadFile(its.CACertFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("no certificate in %s", its.CACertFile)
	}
	pair, err := tls.LoadX509KeyPair(its.CertFile, its.KeyFile)
	if err != nil {
		return nil, err
	}
	return amqp.DialTLS(settings.RabbitMQ.URL, &tls.Config{
		RootCAs:      roots,
		Certificates: []tls.Certificate{pair},
	})
}

func channel(settings *config.TemporalConfig) (*amqp.Connection, *amqp.Channel, error) {
	connection, err := dial(settings)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	channel, err := connection.Channel()
	if err == nil {
		err = channel.Qos(prefetch, 0, false)
	}
	if err != nil {
		connection.Close()
		return nil, nil, fmt.Errorf("open a channel to RabbitMQ: %w", err)
	}
	return connection, channel, nil
}

func askBroker(settings *config.TemporalConfig) (any, error) {
	connection, _, err := channel(settings)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return map[string]any{
		"product": connection.Properties["product"],
		"version": connection.Properties["version"],
	}, nil
}

// Durable, and without arguments: the type is for the broker to choose, and must stay what it was.
func declared(channel *amqp.Channel, name string) (amqp.Queue, error) {
	return channel.QueueDeclare(name, true, false, false, false, nil)
}

func declare(_ context.Context, settings *config.TemporalConfig, _ []string) (any, error) {
	connection, channel, err := channel(settings)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	messages := map[string]int{}
	for _, name := range queues {
		queue, err := declared(channel, name)
		if err != nil {
			return nil, fmt.Errorf("declare `%s`: %w", name, err)
		}
		messages[name] = queue.Messages
	}
	return map[string]any{"queues": messages}, nil
}

// The API declares nothing: what it sends to a queue that no worker has declared is lost.
func publish(_ context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	connection, channel, err := channel(settings)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	message := amqp.Publishing{
		DeliveryMode: amqp.Persistent,
		ContentType:  "text/plain",
		Body:         []byte(arguments[1]),
	}
	if err := channel.Publish("", arguments[0], false, false, message); err != nil {
		return nil, err
	}
	return map[string]string{"queue": arguments[0]}, nil
}

func consume(ctx context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	connection, channel, err := channel(settings)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if _, err := declared(channel, arguments[0]); err != nil {
		return nil, err
	}
	messages, err := channel.Consume(arguments[0], "", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	select {
	case message, open := <-messages:
		if !open {
			return nil, errors.New("RabbitMQ closed the channel")
		}
		return map[string]string{"text": string(message.Body)}, message.Ack(false)
	case <-ctx.Done():
		return nil, errors.New("no message came")
	}
}
