package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/rpc"
)

// A tap remembers what is written to a connection.
type tap struct {
	net.Conn
	written bytes.Buffer
}

func (t *tap) Write(some []byte) (int, error) {
	t.written.Write(some)
	return t.Conn.Write(some)
}

// golden makes three calls on one connection, one with standard input, one that is an error and one in
// which everything is zero, and prints what went over it: `>` to the agent, `<` from it.
func golden(out io.Writer) error {
	const stdin = "{\"a\":\"ü\"}\n"
	server, err := server(map[string]answer{
		"relation-set -r 7 --app --file - < " + stdin: {Code: 300, Stdout: "größer\n", Stderr: "ERROR no\n"},
		"leader-get": {Error: "bad request: unknown command: leader-get"},
		"":           {},
	})
	if err != nil {
		return err
	}
	near, far := net.Pipe()
	agent, tool := &tap{Conn: near}, &tap{Conn: far}
	go server.ServeConn(agent)
	client := rpc.NewClient(tool)
	defer client.Close()
	for _, request := range []Request{
		{
			ContextId:   "temporal-k8s/0-update-status-1",
			Dir:         "/var/lib/juju/agents/unit-temporal-k8s-0/charm",
			CommandName: "relation-set",
			Args:        []string{"-r", "7", "--app", "--file", "-"},
			StdinSet:    true,
			Stdin:       []byte(stdin),
		},
		{ContextId: "x", Dir: "/", CommandName: "leader-get"},
		{},
	} {
		var response ExecResponse
		if err := client.Call(method, request, &response); err != nil {
			if _, told := err.(rpc.ServerError); !told {
				return err
			}
		}
		if _, err := fmt.Fprintf(out, "> %x\n< %x\n", tool.written.Bytes(), agent.written.Bytes()); err != nil {
			return err
		}
		tool.written.Reset()
		agent.written.Reset()
	}
	return nil
}
