// Says what Helm reads: answers one question after the other. A question is a letter, the length of what follows in four
// bytes, the most significant first, and the bytes; an answer is a length and bytes.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/provenance"
)

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var head [5]byte
		if _, err := io.ReadFull(in, head[:]); err == io.EOF {
			return
		} else if err != nil {
			fail(err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(in, body); err != nil {
			fail(err)
		}
		answer := answered(head[0], body)
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(answer)))
		out.Write(length[:])
		out.Write(answer)
		if err := out.Flush(); err != nil {
			fail(err)
		}
	}
}

// What Helm makes of it; what it refuses, or breaks at, is the error.
func answered(kind byte, body []byte) (answer []byte) {
	defer func() {
		if broken := recover(); broken != nil {
			answer = refused(fmt.Errorf("panic: %v", broken))
		}
	}()
	switch kind {
	case 'a':
		return files(body)
	case 'c':
		return recorded(body)
	case 'p':
		return signed(body)
	case 'v':
		return allowed(body)
	}
	fail(fmt.Errorf("no question: %q", kind))
	return nil
}

// The files of an archive, with the digests of their contents.
func files(body []byte) []byte {
	all, err := archive.LoadArchiveFiles(bytes.NewReader(body))
	if err != nil {
		return refused(err)
	}
	listed := [][2]string{}
	for _, file := range all {
		sum := sha256.Sum256(file.Data)
		listed = append(listed, [2]string{file.Name, hex.EncodeToString(sum[:])})
	}
	return told(map[string]any{"files": listed})
}

// What is recorded of a chart that is installed with some values: their length in four bytes, the values, the archive.
func recorded(body []byte) []byte {
	length := binary.BigEndian.Uint32(body)
	values := map[string]any{}
	if err := json.Unmarshal(body[4:4+length], &values); err != nil {
		return refused(err)
	}
	made, err := loader.LoadArchive(bytes.NewReader(body[4+length:]))
	if err != nil {
		return refused(err)
	}
	if err := made.Validate(); err != nil {
		return refused(err)
	}
	if err := util.ProcessDependencies(made, values); err != nil {
		return refused(err)
	}
	return told(map[string]any{"chart": made})
}

// What a signed text says.
func signed(body []byte) []byte {
	metadata, sums := &chart.Metadata{}, &provenance.SumCollection{}
	if err := provenance.ParseMessageBlock(body, metadata, sums); err != nil {
		return refused(err)
	}
	return told(map[string]any{"metadata": metadata, "files": sums.Files})
}

// Pairs of a constraint and a version, a line each: 1 if it is allowed, 0 if not, and c and v for what is neither.
func allowed(body []byte) []byte {
	answer := []byte{}
	for line := range bytes.Lines(body) {
		constraint, version, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte{0x1e})
		answer = append(answer, pair(string(constraint), string(version)))
	}
	return answer
}

func pair(constraint, version string) byte {
	held, err := semver.NewConstraint(constraint)
	if err != nil {
		return 'c'
	}
	against, err := semver.NewVersion(version)
	if err != nil {
		return 'v'
	}
	if held.Check(against) {
		return '1'
	}
	return '0'
}

func refused(err error) []byte {
	return told(map[string]any{"error": err.Error()})
}

func told(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		text, _ = json.Marshal(map[string]any{"error": err.Error()})
	}
	return text
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
