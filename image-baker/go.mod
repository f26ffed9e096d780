module scaibunker.dev/image-baker

go 1.24.0

require (
	github.com/Microsoft/hcsshim v0.11.7
	github.com/klauspost/compress v1.18.4
)

require github.com/pkg/errors v0.9.1 // indirect
