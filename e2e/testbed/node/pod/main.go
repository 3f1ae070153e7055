// What runs in Pods of the test bed, in an image that has nothing else: it waits, serves a sentence, or asks for one.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	switch arguments := os.Args[1:]; {
	case len(arguments) == 1 && arguments[0] == "wait":
		wait()
	case len(arguments) == 3 && arguments[0] == "serve":
		serve(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "get":
		get(arguments[1])
	default:
		fmt.Fprintln(os.Stderr, "usage: pod wait | serve ADDRESS SENTENCE | get URL")
		os.Exit(2)
	}
}

// The first process of a Pod waits for those whose parents have ended.
func wait() {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	children := make(chan os.Signal, 16)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-ends:
			return
		case <-children:
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}

func serve(address, sentence string) {
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, sentence) }
	fmt.Fprintln(os.Stderr, http.ListenAndServe(address, http.HandlerFunc(answer)))
	os.Exit(1)
}

// Whatever keeps an answer away, nothing answers.
func get(url string) {
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		fmt.Println("no answer")
		return
	}
	io.Copy(os.Stdout, answer.Body)
}
