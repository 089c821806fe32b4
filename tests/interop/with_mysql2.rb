require "mysql2"
require "uri"

name, counter, rounds = ARGV
url = URI(ENV.fetch("DATABASE_URL"))
client = Mysql2::Client.new(
  host: url.host, port: url.port, username: url.user, password: url.password, database: url.path[1..]
)
acquire = client.prepare("SELECT GET_LOCK(?, 20) AS granted")
release = client.prepare("SELECT RELEASE_LOCK(?)")

rounds.to_i.times do
  abort "not granted" unless acquire.execute(name).first["granted"] == 1
  value = Integer(File.read(counter))
  sleep 0.001
  File.write(counter, value + 1)
  release.execute(name).to_a
end
