// Verifies one bundle again and again by sigstore-go, from its bytes to its signer, by a trusted root that was read before,
// and writes how many nanoseconds one verification takes.
//
// sigstore-go MILLISECONDS BUNDLE ROOT SHA256 ISSUER SUBJECT
package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

func main() {
	if len(os.Args) != 7 {
		fail(fmt.Errorf("usage: sigstore-go MILLISECONDS BUNDLE ROOT SHA256 ISSUER SUBJECT"))
	}
	lasting := must(time.ParseDuration(os.Args[1] + "ms"))
	json := must(os.ReadFile(os.Args[2]))
	trusted := must(root.NewTrustedRootFromPath(os.Args[3]))
	digest := must(hex.DecodeString(os.Args[4]))
	identity := must(verify.NewShortCertificateIdentity(os.Args[5], "", os.Args[6], ""))
	// As the engine: a log entry, a time by a log or an authority, and no stamp of a log that the root does not name.
	verifier := must(verify.NewVerifier(trusted, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)))
	policy := verify.NewPolicy(
		verify.WithArtifactDigest("sha256", digest), verify.WithCertificateIdentity(identity))
	start, count := time.Now(), int64(0)
	for ; time.Since(start) < lasting; count++ {
		signed := &bundle.Bundle{}
		if err := signed.UnmarshalJSON(json); err != nil {
			fail(err)
		}
		must(verifier.Verify(signed, policy))
	}
	fmt.Println(time.Since(start).Nanoseconds() / max(count, 1))
}

func must[T any](value T, err error) T {
	if err != nil {
		fail(err)
	}
	return value
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
