// How fast Helm's own package is, in one goroutine: what `make bench` divides by.
//
// floor verify MILLISECONDS ARCHIVE PROVENANCE KEYRING verifies one chart again and again, by keys that were read
// before; floor decode MILLISECONDS RECORD decodes one record as Helm does (pkg/storage/driver/util.go). Either prints
// how many nanoseconds it takes.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"helm.sh/helm/v4/pkg/provenance"
	release "helm.sh/helm/v4/pkg/release/v1"
)

func main() {
	nanoseconds, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(2)
	}
	fmt.Println(nanoseconds)
}

func run(arguments []string) (int64, error) {
	switch {
	case len(arguments) == 5 && arguments[0] == "verify":
		keys, err := provenance.NewFromKeyring(arguments[4], "")
		if err != nil {
			return 0, err
		}
		archive, err := os.ReadFile(arguments[2])
		if err != nil {
			return 0, err
		}
		proof, err := os.ReadFile(arguments[3])
		if err != nil {
			return 0, err
		}
		name := filepath.Base(arguments[2])
		return repeated(arguments[1], func() error {
			_, err := keys.Verify(archive, proof, name)
			return err
		})
	case len(arguments) == 3 && arguments[0] == "decode":
		record, err := os.ReadFile(arguments[2])
		if err != nil {
			return 0, err
		}
		return repeated(arguments[1], func() error { return decode(record) })
	}
	return 0, fmt.Errorf("usage: floor verify MILLISECONDS ARCHIVE PROVENANCE KEYRING, or floor decode MILLISECONDS RECORD")
}

func repeated(milliseconds string, act func() error) (int64, error) {
	number, err := strconv.Atoi(milliseconds)
	if err != nil {
		return 0, err
	}
	lasting := time.Duration(number) * time.Millisecond
	begun, count := time.Now(), int64(0)
	for time.Since(begun) < lasting {
		if err := act(); err != nil {
			return 0, err
		}
		count++
	}
	if count == 0 {
		count = 1
	}
	return time.Since(begun).Nanoseconds() / count, nil
}

func decode(record []byte) error {
	packed, err := base64.StdEncoding.DecodeString(string(record))
	if err != nil {
		return err
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	defer unpacked.Close()
	text, err := io.ReadAll(unpacked)
	if err != nil {
		return err
	}
	var decoded release.Release
	return json.Unmarshal(text, &decoded)
}
