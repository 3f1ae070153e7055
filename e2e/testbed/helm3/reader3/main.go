// Says what Helm 3 records of charts: answers one question after the other, as the reader of Helm 4 does. There is one
// kind of question: the length of some values in four bytes, the most significant first, the values, and an archive.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
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
		answer := recorded(body)
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(answer)))
		out.Write(length[:])
		out.Write(answer)
		if err := out.Flush(); err != nil {
			fail(err)
		}
	}
}

// What is recorded; what Helm refuses, or breaks at, is the error.
func recorded(body []byte) (answer []byte) {
	defer func() {
		if broken := recover(); broken != nil {
			answer = refused(fmt.Errorf("panic: %v", broken))
		}
	}()
	length := binary.BigEndian.Uint32(body)
	values := map[string]interface{}{}
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
	if err := chartutil.ProcessDependenciesWithMerge(made, values); err != nil {
		return refused(err)
	}
	return told(map[string]any{"chart": made})
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
