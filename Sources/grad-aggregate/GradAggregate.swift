@main struct GradAggregate { static func main() {} }
