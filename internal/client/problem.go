package client

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"tarn/internal/lake"
)

// problem is what of an error's body the client needs.
type problem struct {
	Code   lake.Code `json:"code"`
	Detail string    `json:"detail"`
	Step   string    `json:"step"`
	Hint   string    `json:"hint"`
}

func (p problem) err() *lake.Error {
	return &lake.Error{Code: p.Code, Step: p.Step, Msg: p.Detail, Hint: p.Hint}
}

// maxProblemBytes bounds what is read of an error.
const maxProblemBytes = 1 << 20

// problemOf makes an error of an answer that is not a success.
func problemOf(res *http.Response) error {
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblemBytes))
	var p problem
	if err == nil && strings.HasSuffix(media, "json") && json.Unmarshal(body, &p) == nil && p.Code != "" {
		return p.err()
	}
	return lake.Errorf(lake.CodeInternal, "the server answered %s, which is not an answer of tarn's", res.Status).
		WithHint("is it a tarn server, or is something in between?")
}
