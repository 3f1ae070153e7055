// An OCI registry in memory that knows the Referrers API, which the registry of distribution does not:
// serves it at the address that is its argument.
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	handler := registry.New(registry.WithReferrersSupport(true))
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], handler))
	os.Exit(1)
}
