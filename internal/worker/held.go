package worker

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// held passes an answer's bytes on and holds the HTTP status until the first of
// them: as long as nothing went out, an error has a status of its own and the
// query can be tried again elsewhere. The encoder before it buffers.
type held struct {
	w    http.ResponseWriter
	head headMessage
	sent bool
	// again says that the query was run a second time, as it had run out of memory.
	again bool
}

func (h *held) Write(p []byte) (int, error) {
	h.begin()
	return h.w.Write(p)
}

func (h *held) begin() {
	if !h.sent {
		h.sent = true
		h.mark()
		h.w.Header().Set("Trailer", endTrailer)
		h.w.Header().Set(headHeader, encodeHeader(h.head))
		h.w.WriteHeader(http.StatusOK)
	}
}

// end closes the answer: with the end's message in the trailer, or with a status
// where nothing had gone out before the error.
func (h *held) end(end endMessage) {
	if end.Error != nil && !h.sent {
		h.mark()
		writeError(h.w, end.Error)
		return
	}
	h.begin()
	h.w.Header().Set(endTrailer, encodeHeader(end))
}

// mark says in a header whether the query was run again.
func (h *held) mark() {
	if h.again {
		h.w.Header().Set(againHeader, "memory")
	}
}

func writeError(w http.ResponseWriter, e *wireError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(e)
}

func encodeHeader(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // the messages hold nothing that JSON cannot
		b = []byte("{}")
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

func decodeHeader(s string, v any) error {
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
