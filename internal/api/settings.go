package api

import "context"

// Setting is a setting of the process. It is changed where it comes from, and by a restart.
type Setting struct {
	Key    string `json:"key" doc:"As the settings file has it"`
	Value  string `json:"value" doc:"As the settings file would say it; *** where a secret is set"`
	Origin string `json:"origin" enum:"default,file,env,flag" doc:"Where the value comes from"`
	Help   string `json:"help" doc:"What it is for"`
}

// SettingList is every setting of the process that answers.
type SettingList struct {
	Settings []Setting `json:"settings" nullable:"false"`
}

type settingsOut struct{ Body SettingList }

func (s *service) listSettings(ctx context.Context, _ *struct{}) (*settingsOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	return &settingsOut{SettingList{append([]Setting{}, s.Settings...)}}, nil
}
