-- :checkhealth flowgate
local M = {}

-- The functions lost their prefix in Neovim 0.10.
local health = vim.health or require('health')
local start = health.start or health.report_start
local ok = health.ok or health.report_ok
local info = health.info or health.report_info
local failed = health.error or health.report_error

function M.check()
  local flowgate = require('flowgate')
  local program = flowgate.cmd()[1]
  start('flowgate')
  if vim.fn.executable(program) == 0 then
    failed(('`%s` is not in PATH'):format(program), { 'install flowgate, or set its path: require("flowgate").setup({ cmd = { "/path/to/flowgate", "lsp" } })' })
    return
  end
  local said = vim.fn.system({ program, '--version' })
  if vim.v.shell_error ~= 0 then
    failed(('`%s --version` failed: %s'):format(program, said))
    return
  end
  ok(('%s: %s'):format(vim.fn.exepath(program), vim.trim(said)))
  local clients = flowgate.clients()
  if #clients == 0 then
    info('no server runs: it starts with a flow.dag.yaml, a flow.flex.yaml or a requirements file')
  end
  for _, client in ipairs(clients) do
    ok(('server %d serves %s'):format(client.id, client.config.root_dir or 'single files'))
  end
end

return M
