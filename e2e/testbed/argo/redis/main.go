// A redis that lives in memory, for Argo CD's controllers on a test bed: `redis ADDRESS`.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: redis ADDRESS")
		os.Exit(2)
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "cannot listen on %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", server.Addr())
	// miniredis has no clock of its own: without this nothing would ever expire.
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
}
