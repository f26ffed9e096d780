package channel

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func testToken() []byte {
	token := make([]byte, TokenBytes)
	for i := range token {
		token[i] = byte(i*37 + 11)
	}
	return token
}

// ends returns where the tokens end that a scanner finds in stream, cut into pieces of the sizes.
func ends(token, stream []byte, sizes []int) []int {
	s := newScanner(token)
	var found []int
	at := 0
	for i := 0; at < len(stream); i++ {
		size := len(stream) - at
		if len(sizes) > 0 {
			size = min(size, max(1, sizes[i%len(sizes)]))
		}
		piece := stream[at : at+size]
		for passed := 0; ; {
			after := s.find(piece[passed:])
			if after < 0 {
				break
			}
			passed += after
			found = append(found, at+passed)
			if passed == len(piece) {
				break
			}
		}
		at += size
	}
	return found
}

// expectedEnds is the same by the plainest means.
func expectedEnds(token, stream []byte) []int {
	var found []int
	for at := 0; ; {
		next := bytes.Index(stream[at:], token)
		if next < 0 {
			return found
		}
		at += next + len(token)
		found = append(found, at)
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestScannerFindsTokensHoweverTheyAreCut(t *testing.T) {
	token := testToken()
	var stream []byte
	stream = append(stream, "stale bytes"...)
	stream = append(stream, token[:20]...) // a hello that broke off
	stream = append(stream, token...)
	stream = append(stream, "nonce and more"...)
	stream = append(stream, token...)
	stream = append(stream, token...)
	want := expectedEnds(token, stream)
	if len(want) != 3 {
		t.Fatal("the test is wrong")
	}
	for size := 1; size <= len(stream); size++ {
		if got := ends(token, stream, []int{size}); !equal(got, want) {
			t.Errorf("pieces of %d: found %v, want %v", size, got, want)
		}
	}
}

func TestScannerWithRepetitiveToken(t *testing.T) {
	token := bytes.Repeat([]byte{7}, TokenBytes)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		stream := bytes.Repeat([]byte{7}, 1+random.IntN(120))
		if random.IntN(2) == 0 {
			stream[random.IntN(len(stream))] = 8
		}
		sizes := []int{1 + random.IntN(40), 1 + random.IntN(40)}
		if got, want := ends(token, stream, sizes), expectedEnds(token, stream); !equal(got, want) {
			t.Fatalf("stream of %d in pieces of %v: found %v, want %v", len(stream), sizes, got, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("before"), []byte("between"), uint8(3), uint8(5))
	f.Add(testToken()[:31], testToken()[1:], uint8(31), uint8(1))
	f.Fuzz(func(t *testing.T, before, between []byte, first, second uint8) {
		token := testToken()
		stream := bytes.Join([][]byte{before, between, nil}, token)
		want := expectedEnds(token, stream)
		if got := ends(token, stream, []int{int(first), int(second)}); !equal(got, want) {
			t.Errorf("pieces of %d and %d: found %v, want %v", first, second, got, want)
		}
	})
}
