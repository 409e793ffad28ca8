package staffing

type place struct{ city, state string }

// The lists below are data, not configuration: changing one changes the data
// set and its golden sums.
var (
	places = []place{
		{"Los Angeles", "CA"}, {"New York", "NY"}, {"Chicago", "IL"}, {"Houston", "TX"}, {"San Francisco", "CA"},
		{"Phoenix", "AZ"}, {"Philadelphia", "PA"}, {"Dallas", "TX"}, {"San Diego", "CA"}, {"Austin", "TX"},
		{"San Jose", "CA"}, {"Jacksonville", "FL"}, {"Columbus", "OH"}, {"Charlotte", "NC"}, {"Seattle", "WA"},
		{"Denver", "CO"}, {"Boston", "MA"}, {"Nashville", "TN"}, {"Portland", "OR"}, {"Las Vegas", "NV"},
		{"Detroit", "MI"}, {"Baltimore", "MD"}, {"Milwaukee", "WI"}, {"Sacramento", "CA"}, {"Atlanta", "GA"},
		{"Kansas City", "MO"}, {"Miami", "FL"}, {"Oakland", "CA"}, {"Minneapolis", "MN"}, {"Tampa", "FL"},
		{"New Orleans", "LA"}, {"Cleveland", "OH"}, {"Honolulu", "HI"}, {"Pittsburgh", "PA"}, {"Cincinnati", "OH"},
		{"St. Louis", "MO"}, {"Orlando", "FL"}, {"Buffalo", "NY"}, {"Salt Lake City", "UT"}, {"Boise", "ID"},
	}
	firstNames = []string{
		"Ada", "Alan", "Amara", "Ana", "Ben", "Carla", "Chen", "Dana", "David", "Elena", "Emil", "Farah", "Grace",
		"Hugo", "Ines", "Ivan", "Jamal", "Jane", "José", "Kofi", "Lena", "Liam", "Lucía", "Maya", "Mei", "Nadia",
		"Noah", "Olga", "Omar", "Priya", "Quinn", "Rosa", "Sam", "Sofia", "Tariq", "Uma", "Victor", "Wei", "Yara", "Zoë",
	}
	lastNames = []string{
		"Adams", "Ahmed", "Baker", "Brown", "Chan", "Clark", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Gupta",
		"Hall", "Ito", "Jackson", "Jensen", "Khan", "Kim", "Kowalski", "Lee", "Lopez", "Martin", "Miller", "Moreau",
		"Nguyen", "Novak", "O'Brien", "Okafor", "Patel", "Perez", "Quist", "Reyes", "Rossi", "Santos", "Schmidt",
		"Singh", "Smith", "Tanaka", "Torres", "Usman", "Vogel", "Walker", "Wang", "Weiss", "Yilmaz", "Young",
	}
	companyHeads = []string{"Acme", "Atlas", "Beacon", "Cedar", "Delta", "Evergreen", "Falcon", "Granite", "Harbor", "Ionic", "Juniper", "Keystone", "Lumen", "Meridian", "Northwind", "Orchard", "Pioneer", "Quarry", "Summit", "Tidewater"}
	companyTails = []string{"Logistics", "Health", "Foods", "Energy", "Labs", "Partners", "Systems", "Retail", "Works", "Capital"}
	industries   = []string{"Healthcare", "Technology", "Manufacturing", "Logistics", "Finance", "Retail", "Energy", "Education"}
	titles       = []string{"Nurse", "Forklift Operator", "Data Analyst", "Electrician", "Accountant", "Welder", "Software Engineer", "Warehouse Lead", "Paralegal", "Machinist", "Driver", "Project Manager"}
	subjects     = []string{"Interview invitation", "Timesheet reminder", "Your placement starts Monday", "New roles near you", "Pay stub available", "Reference check", "Contract for signature", "How was your week?"}
	recruiters   = int64(120)

	candidateStatus = []choice{{"active", 62}, {"placed", 18}, {"inactive", 15}, {"blocked", 5}}
	clientStatus    = []choice{{"active", 80}, {"prospect", 12}, {"former", 8}}
	orderStatus     = []choice{{"open", 25}, {"filled", 60}, {"cancelled", 10}, {"on hold", 5}}
	placementStatus = []choice{{"completed", 70}, {"active", 22}, {"terminated", 8}}
	timesheetStatus = []choice{{"approved", 70}, {"paid", 15}, {"submitted", 10}, {"rejected", 5}}
	callOutcome     = []choice{{"no answer", 40}, {"connected", 35}, {"voicemail", 20}, {"wrong number", 5}}
	callDirection   = []choice{{"outbound", 75}, {"inbound", 25}}
	mailStatus      = []choice{{"opened", 38}, {"delivered", 45}, {"clicked", 12}, {"bounced", 5}}
)
