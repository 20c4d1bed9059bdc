// Renders chat templates with Go's own text/template, handing them what Ollama hands them.
//
// Standard input holds JSON: a list of {template, messages: [{role, content}]}. Standard output gets a list of
// {text, error} of the same length.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"
)

type message struct {
	Role    string
	Content string
}

type job struct {
	Template string
	Messages []message
}

type outcome struct {
	Text  string `json:"text"`
	Error string `json:"error"`
}

// functions are those that Ollama documents for templates.
var functions = template.FuncMap{
	"json": func(value any) string {
		encoded, _ := json.Marshal(value)
		return string(encoded)
	},
	"currentDate": func(...string) string { return time.Now().Format("2006-01-02") },
}

// values gives a template's data: neighbouring messages of one role are one, and system messages come twice, where
// they stand and together as .System.
func values(messages []message) map[string]any {
	var system []string
	var merged []*message
	for _, each := range messages {
		if each.Role == "system" {
			system = append(system, each.Content)
		}
		if last := len(merged) - 1; last >= 0 && merged[last].Role == each.Role {
			merged[last].Content += "\n\n" + each.Content
			continue
		}
		copied := each
		merged = append(merged, &copied)
	}
	return map[string]any{
		"System": strings.Join(system, "\n\n"), "Messages": merged, "Response": "", "Tools": nil, "Think": false,
		"IsThinkSet": false,
	}
}

func render(asked job) outcome {
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(asked.Template)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	var text strings.Builder
	if err := parsed.Execute(&text, values(asked.Messages)); err != nil {
		return outcome{Error: err.Error()}
	}
	return outcome{Text: text.String()}
}

func main() {
	var jobs []job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	outcomes := make([]outcome, len(jobs))
	for index, asked := range jobs {
		outcomes[index] = render(asked)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(outcomes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
