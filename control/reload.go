package control

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"sidekick/config"
	"sidekick/supervisor"
)

// Plan is what a reload does, by names of programs.
type Plan struct {
	Added     []string `json:"added"`
	Removed   []string `json:"removed"`
	Restarted []string `json:"restarted"`
	Retuned   []string `json:"retuned"` // changed without a restart
	Unchanged []string `json:"unchanged"`
	// Lines is the plan for people.
	Lines []string `json:"lines"`
}

// reload answers with the plan once it is under way; ?dry_run=true only plans.
func (s *Server) reload(q *http.Request) (any, error) {
	dryRun, err := yesNo(q, "dry_run", false)
	if err != nil {
		return nil, err
	}
	plan, err := s.reloader.Reload(q.Context(), dryRun)
	switch {
	case err == nil:
		return planOf(plan), nil
	case errors.Is(err, supervisor.ErrShuttingDown):
		return nil, actionError("", err)
	}
	return nil, errorf(http.StatusConflict, "failed", "%v", err)
}

func planOf(p config.Plan) Plan {
	list := func(names []string) []string { return append([]string{}, names...) } // [] and not null
	return Plan{Added: list(p.Added), Removed: list(p.Removed), Restarted: list(p.Relaunched),
		Retuned: list(slices.Concat(p.Retuned, p.Deferred)), Unchanged: list(p.Same), Lines: list(p.Lines())}
}

// Reload has sidekick read its file again; dryRun only plans.
func (c *Client) Reload(ctx context.Context, dryRun bool) (Plan, error) {
	var plan Plan
	path := "/v1/reload"
	if dryRun {
		path += "?dry_run=true"
	}
	err := c.do(ctx, http.MethodPost, path, &plan)
	return plan, err
}
