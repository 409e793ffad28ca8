package httpapi

import (
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// backupBody asks for a backup.
type backupBody struct {
	Path string `json:"path" doc:"absolute path of a folder on the server's machine: empty, or with earlier backups of this lake"`
	Keep int    `json:"keep,omitempty" doc:"how many backups stay in the folder, this one included; 0 keeps all"`
}

func (a *api) moveRoutes() []*route {
	jobErrors := []lake.Code{lake.CodeReadOnly, lake.CodeCancelled, lake.CodeDamaged, lake.CodeNotReady, lake.CodeUnavailable, lake.CodeUnknownOutcome, lake.CodeOutOfDisk}
	return []*route{{
		method: http.MethodPost, path: "/backups", id: "back-up", tag: tagMoves, needs: administers(),
		summary: "Back the lake up", handle: a.backUp,
		doc:     "Copies the lake as it is at one instant into a folder of the server's machine, while reads and writes go on. Files that the folder has from an earlier backup are not copied again. `tarn restore` makes a lake of it.",
		query:   []queryParam{waitParam()},
		body:    jsonOf(backupBody{}),
		answers: []answer{{status: http.StatusOK, doc: "backed up", content: jsonOf(engine.BackupResult{})}, startedAnswer()},
		errors:  append(jobErrors, lake.CodeLocked, lake.CodeUnsupported, lake.CodeUnsupportedMedia, lake.CodeTooLarge),
	}, {
		method: http.MethodPost, path: "/reroot", id: "reroot", tag: tagMoves, needs: administers(),
		summary: "Make the lake's place its root", handle: a.reroot,
		doc:     "After a lake was moved or copied: writes the Iceberg metadata anew with the locations where the files are now, for other readers. No data is copied; all datasets change in one step; old snapshots leave the metadata.",
		query:   []queryParam{waitParam()},
		answers: []answer{{status: http.StatusOK, doc: "done; rerooted is 0 where nothing was to do", content: jsonOf(engine.RerootResult{})}, startedAnswer()},
		errors:  append(jobErrors, lake.CodeFenced),
	}}
}

func (a *api) backUp(c *call) error {
	var body backupBody
	if err := a.readJSON(c, &body); err != nil {
		return err
	}
	job, err := c.door.Backup(c.lasting(), engine.BackupRequest{Path: body.Path, Keep: body.Keep})
	if err != nil {
		return err
	}
	return a.replyJob(c, job)
}

func (a *api) reroot(c *call) error {
	job, err := c.door.Reroot(c.lasting())
	if err != nil {
		return err
	}
	return a.replyJob(c, job)
}
