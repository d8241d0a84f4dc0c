-- Opens a requirements file that pins promptflow, takes the first code action there, then fixes all.
local session = dofile(os.getenv('FLOWGATE_SCRIPTS') .. '/session.lua')

session.run(function()
  vim.cmd('edit requirements.txt')
  session.saw('opened', session.findings(0, 2))
  local offered
  vim.ui.select = function(actions, _, choose)
    offered = #actions
    choose(actions[1], 1)
  end
  local before = vim.api.nvim_buf_get_changedtick(0)
  vim.fn.search('promptflow', 'c')
  vim.lsp.buf.code_action()
  session.await('the fix', function()
    return vim.api.nvim_buf_get_changedtick(0) > before
  end)
  session.saw('offered', offered)
  session.saw('fixed', session.lines())
  session.saw('after', session.findings(0, 1))

  vim.cmd('FlowgateFixAll')
  session.findings(0, 0)
  session.saw('fixed all', session.lines())
end)
