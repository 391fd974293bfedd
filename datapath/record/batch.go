package record

// Bounds of a batch and of its runs.
const (
	// BatchSize is the number of bytes that the records of a batch have together: the
	// payload of the largest UDP datagram over IPv4 (65,535 less 20 and 8), which is also
	// what the kernel takes in one call as a run.
	BatchSize = 65507
	// MaxRun is the number of records of a run: what every kernel with UDP_SEGMENT takes.
	MaxRun = 64
	// maxRuns is the number of runs of a batch.
	maxRuns = 64
)

// Run is consecutive records that may be sent by one call (UDP_SEGMENT of udp(7)): each has
// Size bytes, the last may have fewer.
type Run struct {
	Bytes []byte
	Size  int
}

// Batch holds records for one path, one behind the other, while they are made. Plaintexts
// are built in place, in what Plain returns, and a Sealer seals them there, all at once.
// It belongs to one goroutine. Reset comes first.
type Batch struct {
	data    [BatchSize]byte
	used    int // bytes of data
	records int
	limit   int // bytes of a record
	runs    [maxRuns]Run
	begun   int // of runs

	nonce [NonceSize]byte // here, because an argument of an interface's method is allocated
}

// Reset empties the batch for records of at most limit bytes.
func (b *Batch) Reset(limit int) {
	b.used, b.records, b.limit = 0, 0, limit
	clear(b.runs[:b.begun])
	b.begun = 0
}

// Len returns the number of records.
func (b *Batch) Len() int { return b.records }

// Room returns the number of bytes that the next plaintext may have, 0 if the batch is full.
// What does not fit may fit an empty batch.
func (b *Batch) Room() int {
	if b.begun == maxRuns {
		return 0
	}
	return max(0, min(b.limit, BatchSize-b.used)-Overhead)
}

// Takes reports whether there is room for a frame of a length that travels whole.
func (b *Batch) Takes(frame int) bool { return b.Room() >= wholeHeader+frame }

// Plain returns the empty slice to which the next plaintext is appended. It has room for
// Room bytes.
func (b *Batch) Plain() []byte {
	start := min(b.used+HeaderSize, BatchSize)
	return b.data[start : start : start+b.Room()]
}

// Add makes a record of the first n bytes of the plaintext, which are at most Room bytes.
func (b *Batch) Add(n int) {
	size := n + Overhead
	if b.begun == maxRuns || size > min(b.limit, BatchSize-b.used) {
		panic("record: plaintext is larger than the room for it")
	}
	if last := b.begun - 1; last >= 0 && b.runs[last].takes(size) {
		run := &b.runs[last]
		run.Bytes = run.Bytes[:len(run.Bytes)+size]
	} else {
		b.runs[b.begun] = Run{Bytes: b.data[b.used : b.used+size], Size: size}
		b.begun++
	}
	b.used += size
	b.records++
}

// takes reports whether a record of a size may follow the run's last one.
func (r *Run) takes(size int) bool {
	return size <= r.Size && len(r.Bytes)%r.Size == 0 && len(r.Bytes) < MaxRun*r.Size
}

// Runs returns the records of a sealed batch in the order in which they were added. They lie
// in the batch until Reset.
func (b *Batch) Runs() []Run { return b.runs[:b.begun] }
