package api

import (
	"context"

	"carom"
	"carom/internal/objects"
)

// AppConfig is what is set for an app.
type AppConfig struct {
	Title      string          `json:"title,omitempty" doc:"As people know it"`
	Publisher  string          `json:"publisher,omitempty" doc:"Whose it is: the name of a publisher"`
	TimeZone   string          `json:"time_zone,omitempty" example:"Europe/Berlin" doc:"Where its day begins and ends, by its IANA name; absent: UTC"`
	Currencies map[string]int  `json:"currencies,omitempty" doc:"What its rules pay in: names with how many decimals an amount may have, from 0 to 9"`
	Origins    []string        `json:"origins,omitempty" nullable:"false" doc:"The pages from which browsers may open views and show ads, such as https://game.example"`
	Telegram   *TelegramConfig `json:"telegram,omitempty" doc:"The app's bot, by which the init data of a Mini App is checked"`
}

// TelegramConfig is the bot of an app.
type TelegramConfig struct {
	BotToken *string `json:"bot_token,omitempty" writeOnly:"true" doc:"As BotFather gives it. Never shown; absent: the one that is there stays, empty: it is removed"`
	BotID    int64   `json:"bot_id,omitempty" minimum:"1" doc:"The bot's number, if somebody else holds its token"`
	BotKey   string  `json:"bot_key,omitempty" doc:"The Ed25519 key that signatures for third parties are checked with, in hex; absent: the one that Telegram publishes"`
}

// AppObject is an app as it is set.
type AppObject struct {
	Name     string `json:"name" readOnly:"true"`
	HasToken bool   `json:"has_bot_token" readOnly:"true" doc:"Whether a bot token is stored"`
	AppConfig
}

// AppList is a page of apps.
type AppList struct {
	Apps []AppObject `json:"apps" nullable:"false"`
	Next string      `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
	File string      `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
}

// AppPath names an app in a path. It is exported because huma reads only exported fields.
type AppPath struct {
	App string `path:"app"`
}

func (p AppPath) ref() objects.Ref { return objects.Ref{Kind: objects.KindApp, Name: p.App} }

type replaceAppIn struct {
	AppPath
	Edit
	Body AppObject
}

type removeAppIn struct {
	AppPath
	Edit
	With string `query:"with" enum:"all" doc:"all: everything in the app goes with it"`
}

type appsOut struct{ Body AppList }

func showApp(_ caller, a *carom.App) (*AppObject, error) {
	config, err := settingsOf[AppConfig](a)
	return &AppObject{a.Name, a.BotToken != "", config}, err
}

func (s *service) listApps(ctx context.Context, in *ObjectQuery) (*appsOut, error) {
	c := callerOf(ctx)
	rows, next, err := rowsOf(in, c, visible(c, s.Objects.Objects()).Apps, func(a *carom.App) (objects.Ref, string) {
		return objects.Ref{Kind: objects.KindApp, Name: a.Name}, a.Title
	}, showApp)
	return &appsOut{AppList{rows, next, s.Objects.File()}}, err
}

func (s *service) getApp(ctx context.Context, in *AppPath) (*objectOut[AppObject], error) {
	return get(ctx, s, in.ref(), showApp)
}

func (s *service) replaceApp(ctx context.Context, in *replaceAppIn) (*savedObjectOut[AppObject], error) {
	return put(ctx, s, in.ref(), &in.Edit, &in.Body.AppConfig, showApp)
}

func (s *service) removeApp(ctx context.Context, in *removeAppIn) (*removedOut, error) {
	return s.remove(ctx, in.ref(), &in.Edit, in.With == "all")
}

type removePublisherIn struct {
	PublisherPath
	Edit
}

// removePublisher removes a publisher without apps. Its keys and links end with it.
func (s *service) removePublisher(ctx context.Context, in *removePublisherIn) (*removedOut, error) {
	return s.remove(ctx, objects.Ref{Kind: objects.KindPublisher, Name: in.Publisher}, &in.Edit, false)
}
