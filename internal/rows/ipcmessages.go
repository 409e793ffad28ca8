package rows

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// messages reads the messages of an Arrow stream for ipc.Reader, in place of
// arrow-go's own reader, which believes every length in a message's metadata:
// a body of 400 bytes with one bit changed makes it allocate hundreds of
// gigabytes, which ends the process (arrow-go 18.8.0, schemaFromFB and
// loadBinaryView).
//
// Framing: 4 bytes of 0xFFFFFFFF (absent before Arrow 0.15), the length of the
// metadata, the metadata (a flatbuffer of format/Message.fbs), the body.
// A length of 0, or nothing more, ends the stream.
type messages struct {
	r       io.Reader
	mem     memory.Allocator
	maxBody int64
	last    *ipc.Message
}

// maxMetadataBytes bounds one message's metadata: a schema, or the lengths of
// a batch's buffers.
const maxMetadataBytes = 16 << 20

func (m *messages) Retain() {}

// Release lets the last message go; the reader's owner calls it once.
func (m *messages) Release() {
	if m.last != nil {
		m.last.Release()
		m.last = nil
	}
}

// Message gives the next message, valid until the next call; io.EOF ends.
func (m *messages) Message() (*ipc.Message, error) {
	var word [4]byte
	if _, err := io.ReadFull(m.r, word[:]); err != nil {
		return nil, err // io.EOF where the stream ends without saying so, as it may
	}
	n := binary.LittleEndian.Uint32(word[:])
	if n == 0xFFFFFFFF {
		if err := m.full(word[:]); err != nil {
			return nil, err
		}
		n = binary.LittleEndian.Uint32(word[:])
	}
	if n == 0 {
		return nil, io.EOF
	}
	if n > maxMetadataBytes {
		return nil, fmt.Errorf("a message's metadata claims %d bytes", n)
	}
	meta := make([]byte, n)
	if err := m.full(meta); err != nil {
		return nil, err
	}
	length, err := checkMessage(meta)
	if err != nil {
		return nil, err
	}
	if length < 0 || length > m.maxBody {
		return nil, fmt.Errorf("a message claims %d bytes, more than %d", length, m.maxBody)
	}
	body := memory.NewResizableBuffer(m.mem)
	defer body.Release()
	body.Resize(int(length))
	if err := m.full(body.Bytes()); err != nil {
		return nil, err
	}
	m.Release()
	m.last = ipc.NewMessage(memory.NewBufferBytes(meta), body)
	return m.last, nil
}

func (m *messages) full(p []byte) error {
	_, err := io.ReadFull(m.r, p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// flat walks a flatbuffer to see that each length in it is within its bounds
// and that it does not unfold to more than it is: parts may be shared, so that
// a small buffer can stand for a huge tree. Reads out of bounds panic with
// errFlat or by Go's own check; checkMessage recovers.
type flat struct {
	b      []byte
	fields int // of the schema, so far
	text   int // bytes of names and metadata, so far
}

const (
	maxFlatFields = 1 << 16
	maxFlatDepth  = 64
)

var errFlat = errors.New("a message's metadata is damaged")

// The slots (offsets in a table's vtable) of format/Message.fbs and Schema.fbs
// that hold lengths or lead to them.
const (
	slotMessageType, slotMessageHeader, slotMessageBody, slotMessageMeta = 6, 8, 10, 12
	slotSchemaFields, slotSchemaMeta, slotSchemaFeatures                 = 6, 8, 10
	slotFieldName, slotFieldTypeType, slotFieldType                      = 4, 8, 10
	slotFieldChildren, slotFieldMeta                                     = 14, 16
	slotBatchNodes, slotBatchBuffers, slotBatchVariadic                  = 6, 8, 12
	slotDictionaryData                                                   = 6
	slotKey, slotValue                                                   = 4, 6
	slotUnionIDs, slotTimezone                                           = 6, 6

	headerSchema, headerDictionary, headerBatch = 1, 2, 3
	typeTimestamp, typeUnion                    = 10, 14
)

// checkMessage checks a message's metadata and gives its body's length.
func checkMessage(meta []byte) (bodyBytes int64, err error) {
	defer func() {
		if recover() != nil {
			err = errFlat
		}
	}()
	f := &flat{b: meta}
	msg := f.ref(0)
	f.keyValues(msg, slotMessageMeta)
	if p := f.slot(msg, slotMessageBody); p != 0 {
		bodyBytes = int64(binary.LittleEndian.Uint64(f.b[p:]))
	}
	kind := byte(0)
	if p := f.slot(msg, slotMessageType); p != 0 {
		kind = f.b[p]
	}
	p := f.slot(msg, slotMessageHeader)
	if p == 0 {
		return 0, errFlat
	}
	switch header := f.ref(p); kind {
	case headerSchema:
		f.schema(header)
	case headerBatch:
		f.batch(header)
	case headerDictionary:
		if p := f.slot(header, slotDictionaryData); p != 0 {
			f.batch(f.ref(p))
		}
	}
	return bodyBytes, nil
}

func (f *flat) u32(p int) int { return int(binary.LittleEndian.Uint32(f.b[p:])) }

// ref follows the offset at p.
func (f *flat) ref(p int) int { return p + f.u32(p) }

// slot gives the position of a table's value, 0 where it has none. As in the flatbuffers
// library, a vtable whose length is odd has the value that begins within it.
func (f *flat) slot(table, slot int) int {
	vtable := table - int(int32(f.u32(table)))
	if slot >= int(binary.LittleEndian.Uint16(f.b[vtable:])) {
		return 0
	}
	if off := int(binary.LittleEndian.Uint16(f.b[vtable+slot:])); off != 0 {
		return table + off
	}
	return 0
}

// vector gives the first element and the length of a table's vector.
func (f *flat) vector(table, slot, elemBytes int) (start, n int) {
	p := f.slot(table, slot)
	if p == 0 {
		return 0, 0
	}
	v := f.ref(p)
	n = f.u32(v)
	if n > (len(f.b)-v-4)/elemBytes {
		panic(errFlat)
	}
	return v + 4, n
}

// string counts a table's string.
func (f *flat) string(table, slot int) {
	_, n := f.vector(table, slot, 1)
	if f.text += n; f.text > 2*maxMetadataBytes {
		panic(errFlat)
	}
}

func (f *flat) keyValues(table, slot int) {
	start, n := f.vector(table, slot, 4)
	for i := range n {
		f.count()
		kv := f.ref(start + 4*i)
		f.string(kv, slotKey)
		f.string(kv, slotValue)
	}
}

func (f *flat) count() {
	if f.fields++; f.fields > maxFlatFields {
		panic(errFlat)
	}
}

func (f *flat) schema(table int) {
	f.keyValues(table, slotSchemaMeta)
	f.vector(table, slotSchemaFeatures, 8)
	f.children(table, slotSchemaFields, 0)
}

func (f *flat) children(table, slot, depth int) {
	if depth > maxFlatDepth {
		panic(errFlat)
	}
	start, n := f.vector(table, slot, 4)
	for i := range n {
		f.count()
		field := f.ref(start + 4*i)
		f.string(field, slotFieldName)
		f.keyValues(field, slotFieldMeta)
		f.typ(field)
		f.children(field, slotFieldChildren, depth+1)
	}
}

// typ checks the types that have parts of a variable length.
func (f *flat) typ(field int) {
	kind, p := f.slot(field, slotFieldTypeType), f.slot(field, slotFieldType)
	if kind == 0 || p == 0 {
		return
	}
	switch f.b[kind] {
	case typeTimestamp:
		f.string(f.ref(p), slotTimezone)
	case typeUnion:
		f.vector(f.ref(p), slotUnionIDs, 4)
	}
}

func (f *flat) batch(table int) {
	f.vector(table, slotBatchNodes, 16)
	_, buffers := f.vector(table, slotBatchBuffers, 16)
	start, n := f.vector(table, slotBatchVariadic, 8)
	for i := range n {
		if v := binary.LittleEndian.Uint64(f.b[start+8*i:]); v > uint64(buffers) {
			panic(errFlat)
		}
	}
}
