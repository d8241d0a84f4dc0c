-- Opens a flow with three faults, mends one without saving, and opens another YAML file.
local session = dofile(os.getenv('FLOWGATE_SCRIPTS') .. '/session.lua')

session.run(function()
  vim.cmd('edit flow.dag.yaml')
  session.saw('opened', session.findings(0, 3))
  local line = vim.fn.search('wrong')
  vim.api.nvim_buf_set_lines(0, line - 1, line, false, { '    reference: ${answer.output}' })
  session.saw('mended', session.findings(0, 2))
  session.saw('clients', #require('flowgate').clients(0))

  vim.cmd('edit! other.yaml')
  session.saw('clients of another file', #require('flowgate').clients(vim.api.nvim_get_current_buf()))

  vim.cmd('FlowgateRestart')
  vim.cmd('buffer flow.dag.yaml')
  session.saw('restarted', session.findings(0, 2))
end)
