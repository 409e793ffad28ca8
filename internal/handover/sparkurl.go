package handover

import (
	"fmt"
	"net"
	"strings"

	"tarn/internal/lake"
)

// sparkURL is where a Spark Connect server is, and who tarn is to it:
//
//	sc://host:port/;token=…;use_ssl=true;user_id=…;x-header=…
//
// as Spark's own clients write it. A token goes over TLS, unless the server is on this
// machine and use_ssl says otherwise.
type sparkURL struct {
	address string // host:port
	tls     bool
	token   string
	user    string
	headers map[string]string // whose names begin with x-
}

const (
	sparkScheme = "sc://"
	sparkPort   = "15002"
)

// parseSparkURL reads the URL. Its errors do not repeat it, as it may hold a token.
func parseSparkURL(text string) (sparkURL, error) {
	u := sparkURL{user: "tarn", headers: map[string]string{}}
	bad := func(format string, args ...any) (sparkURL, error) {
		return u, lake.Errorf(lake.CodeInvalidRequest, "spark_url: "+format, args...).WithHint("write it like sc://host:15002/;token=…;use_ssl=true")
	}
	rest, ok := strings.CutPrefix(text, sparkScheme)
	if !ok {
		return bad("it does not begin with %s", sparkScheme)
	}
	address, params, _ := strings.Cut(rest, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), sparkPort
	}
	if host == "" || port == "" || strings.ContainsAny(host, ";=@ ") {
		return bad("there is no host in it")
	}
	u.address = net.JoinHostPort(host, port)
	ssl := ""
	for part := range strings.SplitSeq(strings.Trim(params, ";"), ";") {
		if part == "" {
			continue
		}
		name, v, has := strings.Cut(part, "=")
		switch name = strings.ToLower(name); {
		case !has || v == "":
			return bad("a parameter without a value")
		case name == "token":
			u.token = v
		case name == "use_ssl":
			ssl = strings.ToLower(v)
		case name == "user_id":
			u.user = v
		case strings.HasPrefix(name, "x-"):
			u.headers[name] = v
		default:
			return bad("the parameter %q is not known", name)
		}
	}
	if ssl != "" && ssl != "true" && ssl != "false" {
		return bad("use_ssl is true or false")
	}
	u.tls = ssl == "true" || ssl == "" && u.token != ""
	if u.token != "" && !u.tls && !isLocal(host) {
		return bad("a token goes over TLS, unless the server is on this machine")
	}
	return u, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String is the URL without its secrets.
func (u sparkURL) String() string { return fmt.Sprintf("%s%s", sparkScheme, u.address) }
