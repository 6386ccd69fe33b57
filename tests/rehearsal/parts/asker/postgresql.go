package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/RTradeLtd/config/v2"
	"github.com/RTradeLtd/database/v2"
	"github.com/RTradeLtd/database/v2/models"
)

// What a new account can spend.
const credits = 99999999

// The models that a migration makes tables of.
var tables = []any{
	&models.Upload{},
	&models.EncryptedUpload{},
	&models.User{},
	&models.Payments{},
	&models.IPNS{},
	&models.HostedNetwork{},
	&models.Zone{},
	&models.Record{},
	&models.Usage{},
	&models.Organization{},
}

// The API and the workers try TLS first, then without.
func connect(settings *config.TemporalConfig) (manager *database.Manager, tls bool, err error) {
	manager, err = database.New(settings, database.Options{})
	if err == nil {
		return manager, true, nil
	}
	manager, err = database.New(settings, database.Options{SSLModeDisable: true})
	return manager, false, err
}

func askDatabase(settings *config.TemporalConfig) (any, error) {
	manager, tls, err := connect(settings)
	if err != nil {
		return nil, err
	}
	defer manager.Close()
	there, missing := found(manager)
	return map[string]any{"tls": tls, "tables": there, "missing": missing}, nil
}

func found(manager *database.Manager) (there, missing []string) {
	there, missing = []string{}, []string{}
	for _, table := range tables {
		name := manager.DB.NewScope(table).TableName()
		if manager.DB.HasTable(table) {
			there = append(there, name)
		} else {
			missing = append(missing, name)
		}
	}
	return there, missing
}

// A migration that may make no table is no error to Temporal, nor here: the answer tells.
func migrate(_ context.Context, settings *config.TemporalConfig, _ []string) (any, error) {
	manager, err := database.New(settings, database.Options{
		SSLModeDisable: *plainDatabase,
		RunMigrations:  true,
	})
	if err != nil {
		return nil, err
	}
	defer manager.Close()
	there, missing := found(manager)
	return map[string]any{"tables": there, "missing": missing}, nil
}

// Whoever signs up has to follow a link in a mail. This follows it.
func user(_ context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	name, password, mail := arguments[0], arguments[1], arguments[2]
	manager, err := database.New(settings, database.Options{SSLModeDisable: *plainDatabase})
	if err != nil {
		return nil, err
	}
	defer manager.Close()
	users := models.NewUserManager(manager.DB)
	if _, err := users.NewUserAccount(name, password, mail); err != nil {
		return nil, fmt.Errorf("make the account: %w", err)
	}
	if err := models.NewUsageManager(manager.DB).UpdateTier(name, models.Free); err != nil {
		return nil, fmt.Errorf("set its tier: %w", err)
	}
	if _, err := users.AddCredits(name, credits); err != nil {
		return nil, fmt.Errorf("grant credits: %w", err)
	}
	its, err := users.GenerateEmailVerificationToken(name)
	if err != nil {
		return nil, fmt.Errorf("make the token of the mail: %w", err)
	}
	if _, err := users.ValidateEmailVerificationToken(name, its.EmailVerificationToken); err != nil {
		return nil, fmt.Errorf("confirm the mail: %w", err)
	}
	return map[string]string{"user": name}, nil
}

func login(_ context.Context, settings *config.TemporalConfig, arguments []string) (any, error) {
	manager, _, err := connect(settings)
	if err != nil {
		return nil, err
	}
	defer manager.Close()
	users := models.NewUserManager(manager.DB)
	valid, err := users.SignIn(arguments[0], arguments[1])
	if err != nil {
		return nil, err
	}
	its, err := users.FindByUserName(arguments[0])
	if err != nil {
		return nil, err
	}
	if !valid || !its.EmailEnabled {
		return nil, errors.New("the mail was not confirmed")
	}
	return map[string]any{"user": its.UserName, "credits": its.Credits}, nil
}
