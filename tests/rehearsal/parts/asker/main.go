// Command asker asks the servers of a stack what RTrade's Temporal asks them, in the same words: on the
// modules that Temporal 2.8.0 itself is made of, in the versions that it pins, with its settings from
// the same environment variables. Where it gets its answer, Temporal does.
//
// It prints one line of JSON and ends with 0, or says on stderr what went wrong and ends with 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/RTradeLtd/config/v2"
)

// Temporal has a flag of the same name, for the same commands: all others try TLS first.
var plainDatabase = flag.Bool("db.no_ssl", false, "`migrate` and `user` go to PostgreSQL without TLS")

var limit = flag.Duration("limit", time.Minute, "how long a command may take; `krab` takes for ever")

// A command's answer is printed as JSON.
type command struct {
	name      string
	arguments string
	does      string
	run       func(ctx context.Context, settings *config.TemporalConfig, arguments []string) (any, error)
}

var commands = []command{
	{"settings", "", "what was read from the environment, secrets among it", settings},
	{"check", "", "what the API asks at its start: IPFS, IPFS Cluster, PostgreSQL, RabbitMQ", check},
	{"migrate", "", "makes the tables; tells which are there then, and which are not", migrate},
	{"user", "NAME PASSWORD MAIL", "makes an account that may log in", user},
	{"login", "NAME PASSWORD", "whether an account may log in", login},
	{"declare", "", "declares the queues of the five workers", declare},
	{"publish", "QUEUE TEXT", "sends a message", publish},
	{"consume", "QUEUE", "waits for a message", consume},
	{"add", "TEXT", "adds a file to IPFS", add},
	{"stat", "CID", "asks IPFS how large an object is", stat},
	{"cat", "CID", "reads an object from IPFS", cat},
	{"pin", "CID PEERS", "tells IPFS Cluster to pin, and waits until so many peers have", pin},
	{"krab", "", "keeps keys for others", krab},
	{"key", "NAME", "makes a key, gives it to krab and asks for it", key},
}

func main() {
	flag.Usage = usage
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "asker:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: asker [FLAG…] COMMAND [ARGUMENT…]")
	for _, it := range commands {
		fmt.Fprintf(os.Stderr, "  %s\n\t%s\n", strings.TrimSpace(it.name+" "+it.arguments), it.does)
	}
	flag.PrintDefaults()
}

func run(words []string) error {
	if len(words) == 0 {
		usage()
		return errors.New("no command")
	}
	for _, it := range commands {
		if it.name != words[0] {
			continue
		}
		if arguments := strings.Fields(it.arguments); len(words)-1 != len(arguments) {
			return fmt.Errorf("`%s` takes %d arguments: %s", it.name, len(arguments), it.arguments)
		}
		// an empty path means the environment, as in a Pod
		read, err := config.LoadConfig("")
		if err != nil {
			return fmt.Errorf("read the settings: %w", err)
		}
		answer, err := within(it, read, words[1:])
		if err != nil {
			return fmt.Errorf("%s: %w", it.name, err)
		}
		return json.NewEncoder(os.Stdout).Encode(answer)
	}
	usage()
	return fmt.Errorf("no command is named `%s`", words[0])
}

// Not everything that is asked takes a context.
func within(it command, settings *config.TemporalConfig, arguments []string) (any, error) {
	ctx := context.Background()
	if it.name != "krab" {
		limited, cancel := context.WithTimeout(ctx, *limit)
		defer cancel()
		ctx = limited
	}
	type result struct {
		answer any
		err    error
	}
	ended := make(chan result, 1)
	go func() {
		answer, err := it.run(ctx, settings, arguments)
		ended <- result{answer, err}
	}()
	select {
	case it := <-ended:
		return it.answer, it.err
	case <-ctx.Done():
	}
	// what takes the context has words for what it waited for
	select {
	case it := <-ended:
		return it.answer, it.err
	case <-time.After(time.Second):
		return nil, fmt.Errorf("no answer within %v", *limit)
	}
}

func settings(_ context.Context, settings *config.TemporalConfig, _ []string) (any, error) {
	return settings, nil
}

func check(ctx context.Context, settings *config.TemporalConfig, _ []string) (any, error) {
	node, err := askNode(settings)
	if err != nil {
		return nil, err
	}
	peers, err := askPeers(ctx, settings)
	if err != nil {
		return nil, err
	}
	database, err := askDatabase(settings)
	if err != nil {
		return nil, err
	}
	broker, err := askBroker(settings)
	if err != nil {
		return nil, err
	}
	return map[string]any{"ipfs": node, "cluster": peers, "postgresql": database, "rabbitmq": broker}, nil
}
