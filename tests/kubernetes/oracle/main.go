// The oracle answers what Kubernetes' own code makes of an input: one JSON object a line on standard input, one a line
// on standard output, in the same order. Nothing here decides anything itself; each answer is that of a function of
// kubeadm, the kubelet, client-go or Go's library.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

// answer is what a question gets: a value, or the words of the error that the asked code returned.
type answer struct {
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
	// Bug is a fault of the question or of the oracle, never an answer.
	Bug string `json:"bug,omitempty"`
}

// questions are the functions that can be asked, by name.
var questions = map[string]func(json.RawMessage) (any, error){}

// question makes f one of the questions; its input's fields are those of I, each of which must be known.
func question[I any](name string, f func(I) (any, error)) struct{} {
	questions[name] = func(raw json.RawMessage) (any, error) {
		var input I
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&input); err != nil {
			panic(err)
		}
		return f(input)
	}
	return struct{}{}
}

func ask(line []byte) (reply answer) {
	defer func() {
		if problem := recover(); problem != nil {
			reply = answer{Bug: fmt.Sprintf("%v\n%s", problem, debug.Stack())}
		}
	}()
	var asked struct {
		Question string          `json:"question"`
		Input    json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(line, &asked); err != nil {
		panic(err)
	}
	f, known := questions[asked.Question]
	if !known {
		panic("no such question: " + asked.Question)
	}
	value, err := f(asked.Input)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Value: value}
}

func main() {
	// kubeadm prints what it does.
	replies := os.Stdout
	os.Stdout = os.Stderr
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	utilruntime.ErrorHandlers = nil

	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	encoder := json.NewEncoder(replies)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		if err == nil {
			err = encoder.Encode(ask(line))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
