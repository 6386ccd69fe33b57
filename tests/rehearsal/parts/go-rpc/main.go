// Command go-rpc speaks the protocol between Juju's agent and its hook tools as Go itself does: with
// net/rpc and encoding/gob of the standard library. Whoever understands it, and is understood,
// understands Juju's own agents and tools on the wire.
//
//	go-rpc ask SOCKET [together]   makes the calls told on stdin, prints the answers
//	go-rpc serve SOCKET [TABLE]    is the agent, until stdin ends
//	go-rpc golden                  prints the bytes of three calls and their answers
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"slices"
	"strings"
	"sync"
)

const method = "Jujuc.Main"

var errNoStdin = errors.New("hook tool requires stdin, none supplied")

// Request is the body of a call.
type Request struct {
	ContextId   string
	Dir         string
	CommandName string
	Args        []string
	StdinSet    bool
	Stdin       []byte
	Token       string
}

// ExecResponse is the body of an answer.
type ExecResponse struct {
	Code   int
	Stdout []byte
	Stderr []byte
}

// A question is a call in JSON; texts are legible there.
type question struct {
	Method                      string
	ContextId, Dir, CommandName string
	Args                        []string
	StdinSet                    bool
	Stdin, Token                string
}

// An answer is what came of a call, in JSON.
type answer struct {
	Code                  int
	Stdout, Stderr, Error string
}

func (q question) request() Request {
	return Request{q.ContextId, q.Dir, q.CommandName, q.Args, q.StdinSet, []byte(q.Stdin), q.Token}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "go-rpc:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "ask":
		return ask(words[1], false)
	case len(words) == 3 && words[0] == "ask" && words[2] == "together":
		return ask(words[1], true)
	case len(words) == 2 && words[0] == "serve":
		return serve(words[1], "")
	case len(words) == 3 && words[0] == "serve":
		return serve(words[1], words[2])
	case len(words) == 1 && words[0] == "golden":
		return golden(os.Stdout)
	}
	return errors.New("usage: go-rpc ask SOCKET [together] | serve SOCKET [TABLE] | golden")
}

// ask reads a list of connections from stdin, each a list of calls, and prints the answers in the same
// shape. The connections are all open at once; their calls come one after the other, or all of them
// before the first answer.
func ask(socket string, together bool) error {
	var connections [][]question
	if err := json.NewDecoder(os.Stdin).Decode(&connections); err != nil {
		return fmt.Errorf("read the calls: %w", err)
	}
	answers := make([][]answer, len(connections))
	failed := make([]error, len(connections))
	var all sync.WaitGroup
	for i, questions := range connections {
		all.Go(func() { answers[i], failed[i] = converse(socket, questions, together) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func converse(socket string, questions []question, together bool) ([]answer, error) {
	client, err := rpc.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	responses := make([]ExecResponse, len(questions))
	answers := make([]answer, len(questions))
	var calls []*rpc.Call
	for i, it := range questions {
		asked := method
		if it.Method != "" {
			asked = it.Method
		}
		call := client.Go(asked, it.request(), &responses[i], make(chan *rpc.Call, 1))
		calls = append(calls, call)
		if !together {
			call.Done <- <-call.Done
		}
	}
	for i, call := range calls {
		<-call.Done
		its := responses[i]
		answers[i] = answer{Code: its.Code, Stdout: string(its.Stdout), Stderr: string(its.Stderr)}
		if call.Error != nil {
			answers[i].Error = call.Error.Error()
		}
	}
	return answers, nil
}

// Jujuc is the agent's one service.
type Jujuc struct {
	alone sync.Mutex
	table map[string]answer
}

// Main answers by the table, in which a call is its command line, with what it reads from stdin behind
// a `<`; or as the table says of `*`. What is not there it tells back.
func (j *Jujuc) Main(request Request, response *ExecResponse) error {
	j.alone.Lock()
	defer j.alone.Unlock()
	line := strings.Join(append([]string{request.CommandName}, request.Args...), " ")
	if request.StdinSet {
		line += " < " + string(request.Stdin)
	}
	its, ok := j.table[line]
	if !ok && slices.Contains(request.Args, "-") && !request.StdinSet {
		return errNoStdin
	}
	if !ok {
		its, ok = j.table["*"]
	}
	if ok {
		*response = ExecResponse{its.Code, []byte(its.Stdout), []byte(its.Stderr)}
		if its.Error != "" {
			return errors.New(its.Error)
		}
		return nil
	}
	told, err := json.Marshal(question{
		ContextId:   request.ContextId,
		Dir:         request.Dir,
		CommandName: request.CommandName,
		Args:        request.Args,
		StdinSet:    request.StdinSet,
		Stdin:       string(request.Stdin),
		Token:       request.Token,
	})
	response.Stdout = told
	return err
}

func server(table map[string]answer) (*rpc.Server, error) {
	server := rpc.NewServer()
	return server, server.Register(&Jujuc{table: table})
}

// serve says `ready` when it can be called.
func serve(socket, path string) error {
	table := map[string]answer{}
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &table); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	server, err := server(table)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go server.Accept(listener)
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
